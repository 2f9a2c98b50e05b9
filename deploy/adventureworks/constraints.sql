-- The foreign keys of schema.sql, added once the rows are there: checking them all at once is faster than row by row.

ALTER TABLE production.productsubcategory ADD FOREIGN KEY (productcategoryid) REFERENCES production.productcategory;
ALTER TABLE production.product
    ADD FOREIGN KEY (productsubcategoryid) REFERENCES production.productsubcategory,
    ADD FOREIGN KEY (productmodelid) REFERENCES production.productmodel,
    ADD FOREIGN KEY (sizeunitmeasurecode) REFERENCES production.unitmeasure,
    ADD FOREIGN KEY (weightunitmeasurecode) REFERENCES production.unitmeasure;
ALTER TABLE production.productmodelproductdescriptionculture
    ADD FOREIGN KEY (productmodelid) REFERENCES production.productmodel,
    ADD FOREIGN KEY (productdescriptionid) REFERENCES production.productdescription,
    ADD FOREIGN KEY (cultureid) REFERENCES production.culture;
ALTER TABLE production.productproductphoto
    ADD FOREIGN KEY (productid) REFERENCES production.product,
    ADD FOREIGN KEY (productphotoid) REFERENCES production.productphoto;
ALTER TABLE production.productreview ADD FOREIGN KEY (productid) REFERENCES production.product;
ALTER TABLE production.productinventory
    ADD FOREIGN KEY (productid) REFERENCES production.product,
    ADD FOREIGN KEY (locationid) REFERENCES production.location;
ALTER TABLE production.productlistpricehistory ADD FOREIGN KEY (productid) REFERENCES production.product;
ALTER TABLE person.emailaddress ADD FOREIGN KEY (businessentityid) REFERENCES person.person;
ALTER TABLE sales.salesterritory ADD FOREIGN KEY (countryregioncode) REFERENCES person.countryregion;
ALTER TABLE sales.customer
    ADD FOREIGN KEY (personid) REFERENCES person.person,
    ADD FOREIGN KEY (territoryid) REFERENCES sales.salesterritory;
ALTER TABLE sales.specialofferproduct
    ADD FOREIGN KEY (specialofferid) REFERENCES sales.specialoffer,
    ADD FOREIGN KEY (productid) REFERENCES production.product;
ALTER TABLE sales.salesorderheader
    ADD FOREIGN KEY (customerid) REFERENCES sales.customer,
    ADD FOREIGN KEY (territoryid) REFERENCES sales.salesterritory;
ALTER TABLE sales.salesorderdetail
    ADD FOREIGN KEY (salesorderid) REFERENCES sales.salesorderheader,
    ADD FOREIGN KEY (specialofferid, productid) REFERENCES sales.specialofferproduct;
